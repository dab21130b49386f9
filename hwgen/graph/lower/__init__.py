"""From a quantised graph to the sites that operators are made of."""
