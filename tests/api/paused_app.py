"""The app, in which previews of files called slow, and their runs after a third of their rows, wait
for a file called `go` next to the data folder."""

import time

import app
import enhance.enhancer
from enhance.engine import estimates

from ..site import WatchedEnhancer


class PausedEnhancer(WatchedEnhancer):
    def _wait(self, point, source, stop):
        go = self.config.server_data.with_name("go")
        while point != "run" and "slow" in str(source) and not (go.exists() or stop.is_set()):
            time.sleep(0.02)


estimates.time_strip = lambda *_: 1e-5  # Timing the networks takes longer than starting a server.
enhance.enhancer.Enhancer = PausedEnhancer  # type: ignore[misc]
app.main()
