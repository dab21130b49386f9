"""Operators in hardware. To add one, write its file and name it here."""

from .conv import Conv
from .convert import WidthConverter
from .dense import Dense
from .fork import Fork
from .global_pool import GlobalAveragePool
from .pool import AveragePool, MaxPool
from .queue import StreamQueue
from .table import Table

#: Every operator, in the order in which they are asked whether they take a site.
OPERATORS = (Conv, Dense, MaxPool, AveragePool, GlobalAveragePool, Table, StreamQueue, Fork, WidthConverter)
