"""The report of a design: text, page, data and picture; tables; and two builds compared."""
