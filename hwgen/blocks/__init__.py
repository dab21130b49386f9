"""Operators in hardware. To add one, write its file and name it here."""

from .box import Keep, Pad, Slice
from .concat import Concat
from .conv import Conv
from .conv_transpose import ConvTranspose
from .dense import Dense
from .edge_pool import EdgeAveragePool
from .elementwise import Elementwise
from .fixed_operand import FixedOperand
from .floating import Float
from .global_max import GlobalMaxPool
from .global_pool import GlobalAveragePool
from .interpolate import Interpolate, LinearResize
from .made_up import MadeUp
from .pair import Add, Mul
from .pool import AveragePool, MaxPool
from .reorder import Rearrange, ShuffleChannels, Upsample
from .table import ChannelTable, Table

#: Every operator, in the order in which they are asked whether they take a site: the particular before the general.
OPERATORS = (
    Conv, ConvTranspose, Dense, GlobalMaxPool, MaxPool, AveragePool, EdgeAveragePool, GlobalAveragePool, Table,
    ChannelTable, FixedOperand, Add, Mul, Concat, Slice, Upsample, Pad, ShuffleChannels, MadeUp, Rearrange, Elementwise,
    LinearResize, Interpolate, Keep, Float,
)  # fmt: skip
