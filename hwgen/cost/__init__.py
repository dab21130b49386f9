"""What hardware takes (``logic``, ``needs``) and when it moves (``actor``, ``timing``), as numbers."""
