"""Many runs of one recipe: sweeps over settings."""
