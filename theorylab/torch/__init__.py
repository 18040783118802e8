"""The rules as ``torch.optim`` optimizers."""
