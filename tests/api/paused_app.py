"""The app, in which a run of a file with "slow" in its name stops after a third of its rows."""

import app
import enhance.enhancer

from ..site import WatchedEnhancer


class PausedEnhancer(WatchedEnhancer):
    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.pauses["progress"] = "slow"


enhance.enhancer.Enhancer = PausedEnhancer  # type: ignore[misc]
app.main()
