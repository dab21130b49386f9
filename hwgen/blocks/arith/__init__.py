"""Numbers in hardware: fixed point, real expressions as integers bit for bit, exact lines through tables."""
