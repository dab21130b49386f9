"""The columns of the tables that :class:`hwgen.cost.timing_engine.Engine` fills for its compiled loops.

Places are indices into the array that holds what the column names; -1 stands for none, and for 1, 2, 3 and so on where
steps count. Cycles that are the same in every step stand there themselves, negative. The compiled loops are kept from
run to run as long as their own file stays as it is: who changes a number here changes :mod:`timing_kernel`, too.
"""

FIRST_TAKE, END_TAKE, FIRST_GIVE, END_GIVE, STEPS, BUSY, STARTS = range(7)
LINK, NEED, RELEASE, CAPACITY, DELAY, FREED = range(6)
GIVE, RESERVE, LATENCY, QUEUE, CREDIT_DELAY, SPACING = range(1, 7)
OFFERED, MOVED, PRODUCER, CONSUMER = range(4)

#: A queue that never fills.
NO_END = 1 << 60
