"""What a model answers, with its geography and provenance: maps, rows, points, series; saved, drawn, converted."""
