"""Forward and backward passes compiled by torch.compile."""
