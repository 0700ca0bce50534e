"""The sizes at which each pass begins to save time or memory."""

# From so many rows and weights on, a dense layer is computed as weights times rows.
LARGE_DENSE_ROWS, LARGE_DENSE_WEIGHTS = 32, 1 << 21

# From so many channels on, and with so many numbers in memory between one tap and the next, a dilated
# convolution is computed in rows as long as the dilation.
ROWS_CHANNELS, ROWS_DISTANCE = 512, 2**15

# Up to so many channels, the adjoint of a convolution is computed in blocks of positions.
BLOCK_CHANNELS = 4

# From so many channels on, a convolution in float64 is computed as one product for each tap.
TAPS_CHANNELS = 32

# Up to so many numbers for each row, and so many weights, an operation at the end of the forward pass is
# computed in float64.
END_NUMBERS, END_WEIGHTS = 1 << 12, 1 << 20

# Windows of max pools with up to so many positions are compared one slice after another.
SLICED_WINDOW = 32
