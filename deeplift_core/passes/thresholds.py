"""Sizes from which on each pass pays."""

# Dense layers as weights times rows: how many rows and weights.
LARGE_DENSE_ROWS, LARGE_DENSE_WEIGHTS = 32, 1 << 21

# Dilated convolutions in rows as long as the dilation: how many channels, and how many numbers lie in memory
# between one tap and the next.
ROWS_CHANNELS, ROWS_DISTANCE = 512, 2**15

# Adjoints of convolutions to few channels in blocks of positions: how many channels at most.
BLOCK_CHANNELS = 4

# Convolutions in float64 as products by taps: how many channels.
TAPS_CHANNELS = 32

# Convolutions in float32 as products by taps, for the sake of rounding: how many terms and channels.
SHORT_SUM_TERMS, SHORT_SUM_CHANNELS = 2048, 320

# The end of the forward pass in float64: how many numbers for each row, and how many weights, at most.
END_NUMBERS, END_WEIGHTS = 1 << 12, 1 << 20

# Max pools: the most positions of a window that are compared one slice after another.
SLICED_WINDOW = 32
