"""Operators and the units that compute them. To add one, write its file and name it here."""

from collections.abc import Mapping

from hwgen.blocks.loop.unit import LoopUnit
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.conv_transpose import ConvTranspose
from hwgen.blocks.mac.dense import Dense, DenseUnit
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.mac.tapped import TappedConv
from hwgen.blocks.move.box import BoxUnit, Keep, Pad, PadUnit, Slice
from hwgen.blocks.move.concat import Concat, ConcatUnit
from hwgen.blocks.move.interpolate import Interpolate, InterpolateUnit, LinearResize
from hwgen.blocks.move.made_up import MadeUp
from hwgen.blocks.move.reorder import Rearrange, ReorderUnit, ShuffleChannels, Upsample
from hwgen.blocks.pointwise.elementwise import Elementwise
from hwgen.blocks.pointwise.fixed_operand import FixedOperand
from hwgen.blocks.pointwise.floating import Float
from hwgen.blocks.pointwise.pair import Add, Mul
from hwgen.blocks.pointwise.table import ChannelTable, Table, TableUnit
from hwgen.blocks.pointwise.zipped import ZippedUnit
from hwgen.blocks.pool.edge_pool import EdgeAveragePool, EdgeAveragePoolUnit
from hwgen.blocks.pool.global_max import GlobalMaxPool, GlobalMaxPoolUnit
from hwgen.blocks.pool.global_pool import GlobalAveragePool, GlobalAveragePoolUnit
from hwgen.blocks.pool.max_abreast import MaxAbreastUnit
from hwgen.blocks.pool.pool import AveragePool, AveragePoolUnit, MaxPool, MaxPoolUnit

from .operator import OperatorUnit

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
    "loop": LoopUnit,
    "mac": MacUnit,
    "max_pool": MaxPoolUnit,
    "max_pool_abreast": MaxAbreastUnit,
    "pad": PadUnit,
    "reorder": ReorderUnit,
    "table": TableUnit,
    "tapped": TappedConv,
    "zipped": ZippedUnit,
}
