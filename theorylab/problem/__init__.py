"""What is minimised: objectives with certified constants and laws of stochastic gradients."""
