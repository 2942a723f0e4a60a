"""Running a model on the user's data: opened, cut into units, streamed in batches, put together.

`verbs` is where a call comes in; `scene` opens what it is given; `stream` computes batches of it, which `work` keeps;
`maps`, `chips`, `points`, `species`, `forecast` and `retrieval` make the answers of each kind.
"""
