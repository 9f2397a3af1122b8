"""The Batch tab.

`files` changes the list of files, `selection` shows one of them on the stage, and `estimate` shows the expected
results. `run` has the batches, and `views` the list, the progress and the buttons that the others show.
"""
