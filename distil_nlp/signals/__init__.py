"""What a model computed for a batch, and how it is computed: columns, forward pass, taps, frames, problem kinds."""
