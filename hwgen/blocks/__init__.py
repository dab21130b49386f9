"""Operators and the units that compute them. To add one, write its file and name it here."""

from collections.abc import Mapping

from .box import BoxUnit, Keep, Pad, PadUnit, Slice
from .concat import Concat, ConcatUnit
from .conv import Conv
from .conv_transpose import ConvTranspose
from .dense import Dense, DenseUnit
from .edge_pool import EdgeAveragePool, EdgeAveragePoolUnit
from .elementwise import Elementwise
from .fixed_operand import FixedOperand
from .floating import Float
from .global_max import GlobalMaxPool, GlobalMaxPoolUnit
from .global_pool import GlobalAveragePool, GlobalAveragePoolUnit
from .interpolate import Interpolate, InterpolateUnit, LinearResize
from .mac import MacUnit
from .made_up import MadeUp
from .operator import OperatorUnit
from .pair import Add, Mul
from .pool import AveragePool, AveragePoolUnit, MaxPool, MaxPoolUnit
from .reorder import Rearrange, ReorderUnit, ShuffleChannels, Upsample
from .table import ChannelTable, Table, TableUnit
from .tapped import TappedConv
from .zipped import ZippedUnit

#: Every operator, in the order in which they are asked whether they take a site: the particular before the general.
OPERATORS = (
    Conv, ConvTranspose, Dense, GlobalMaxPool, MaxPool, AveragePool, EdgeAveragePool, GlobalAveragePool, Table,
    ChannelTable, FixedOperand, Add, Mul, Concat, Slice, Upsample, Pad, ShuffleChannels, MadeUp, Rearrange, Elementwise,
    LinearResize, Float,
)  # fmt: skip
#: Operators that only others are made of.
PARTS = (Interpolate, Keep)

#: Every unit that computes an operator, by what plans call it. A further one for an operator is a file and a line.
UNITS: Mapping[str, type[OperatorUnit]] = {
    "average_pool": AveragePoolUnit,
    "box": BoxUnit,
    "concat": ConcatUnit,
    "dense": DenseUnit,
    "edge_average_pool": EdgeAveragePoolUnit,
    "global_average_pool": GlobalAveragePoolUnit,
    "global_max_pool": GlobalMaxPoolUnit,
    "interpolate": InterpolateUnit,
    "mac": MacUnit,
    "max_pool": MaxPoolUnit,
    "pad": PadUnit,
    "reorder": ReorderUnit,
    "table": TableUnit,
    "tapped": TappedConv,
    "zipped": ZippedUnit,
}
