"""The forms that a convolution along a sequence takes, and their adjoints."""
