"""The Batch tab.

`files` has the files of a page, and `run` has the batches, which change them. `selection` shows one file on the stage,
and `estimate` the expected results. `views` has the list, the progress and the buttons that the others show.
"""
