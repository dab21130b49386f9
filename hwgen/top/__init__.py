"""The exported top: AXI4-Stream ports (``axi``) and weights that are loaded (``loader`` in hardware, ``loading``)."""
