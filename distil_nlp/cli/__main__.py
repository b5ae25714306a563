"""`python -m distil_nlp.cli`, for `accelerate launch -m`."""

from .main import main

main()
