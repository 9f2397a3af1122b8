"""The Batch tab.

`run` has the batches and changes their files, `selection` shows one of them on the stage, and `estimate` shows the
expected results. `views` has the list, the progress and the buttons that the others show.
"""
