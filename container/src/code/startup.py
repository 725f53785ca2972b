"""Prepares an IPython kernel before its first cell: live output, output of other programs, charts.

It leaves no name behind, imports nothing that takes long, and a failure of a part is no failure of the kernel.
"""


def _prepare():
    import codecs
    import ctypes
    import faulthandler
    import os
    import select
    import sys
    import threading

    shell = get_ipython()  # noqa: F821
    kernel = shell.kernel

    def publish_everything():
        # Without it, the socket drops messages that the client does not read at once.
        thread = kernel.iopub_socket.io_thread
        thread.schedule(lambda: setattr(thread.socket, "sndhwm", 0))

    class Capture:
        """Sends what is written to a descriptor to the stream of the kernel with the same purpose."""

        def __init__(self, stream, descriptor):
            self.stream = stream
            self.lock = threading.Lock()
            self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self.log = self.stop_watching(descriptor)
            self.read_end, write_end = os.pipe()
            os.set_blocking(self.read_end, False)
            os.dup2(write_end, descriptor)
            # Programs that get `sys.stdout` as theirs ask for this descriptor.
            stream._original_stdstream_copy = write_end
            threading.Thread(target=self.watch, daemon=True).start()

        def stop_watching(self, descriptor):
            """Ends the kernel's own capture, which does not say when it has read everything."""
            stream = self.stream
            if not getattr(stream, "_should_watch", False):
                return os.dup(descriptor)
            stream._should_watch = False
            os.write(descriptor, b"\0")
            stream.watch_fd_thread.join()
            return stream._original_stdstream_copy

        def watch(self):
            poll = select.poll()
            poll.register(self.read_end, select.POLLIN)
            while True:
                poll.poll()
                self.drain(1)

        def drain(self, most):
            with self.lock:
                while most != 0:
                    try:
                        output = os.read(self.read_end, 65536)
                    except BlockingIOError:
                        return
                    text = self.decoder.decode(output)
                    if text:
                        self.stream.write(text)
                    most -= 1

    def capture():
        captures = [Capture(sys.stdout, 1), Capture(sys.stderr, 2)]
        # A crash is told in the log of the process.
        faulthandler.enable(captures[1].log)
        flush_c = ctypes.CDLL(None).fflush

        def drain(_result=None):
            flush_c(None)
            for capture in captures:
                capture.drain(256)

        shell.events.register("post_run_cell", drain)

    def stream_at_once():
        for stream in sys.stdout, sys.stderr:
            stream.flush_interval = 0.02

    def overrides():
        """The directory and the variables of one run alone."""
        saved = []

        def begin(_info=None):
            metadata = kernel.get_parent("shell").get("metadata") or {}
            wanted = metadata.get("sandbar")
            if not wanted:
                return
            if wanted.get("cwd"):
                saved.append((os.chdir, os.getcwd()))
                os.chdir(wanted["cwd"])
            for name, value in wanted.get("env", {}).items():
                saved.append((restore, (name, os.environ.get(name))))
                os.environ[name] = value

        def restore(variable):
            name, value = variable
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

        def end(_result=None):
            while saved:
                undo, argument = saved.pop()
                try:
                    undo(argument)
                except OSError:
                    pass

        shell.events.register("pre_run_cell", begin)
        shell.events.register("post_run_cell", end)

    def charts():
        from IPython.core.formatters import BaseFormatter
        from traitlets import ObjectName, Unicode

        media_type = "application/vnd.sandbar.chart+json"

        class ChartFormatter(BaseFormatter):
            format_type = Unicode(media_type)
            print_method = ObjectName("_repr_sandbar_chart_")
            _return_type = (dict,)

            def __call__(self, value):
                # Not by a function for the type: matplotlib removes those of all formatters.
                kind = type(value)
                if (kind.__module__, kind.__name__) == ("matplotlib.figure", "Figure"):
                    return chart_of_figure(value)
                return super().__call__(value)

        shell.display_formatter.formatters[media_type] = ChartFormatter(parent=shell.display_formatter)

    def chart_of_figure(figure):
        try:
            charts = [chart_of_axes(axes) for axes in figure.axes]
        except Exception:
            return None
        charts = [chart for chart in charts if chart["elements"]]
        if len(charts) == 1:
            return charts[0]
        if charts:
            return {"type": "superchart", "title": text_of(figure._suptitle), "elements": charts}
        return None

    def chart_of_axes(axes):
        kind, elements = elements_of(axes)
        chart = {"type": kind, "title": axes.get_title() or None, "elements": elements}
        if kind != "pie":
            chart["x_label"] = axes.get_xlabel() or None
            chart["y_label"] = axes.get_ylabel() or None
            chart["x_scale"] = axes.get_xscale()
            chart["y_scale"] = axes.get_yscale()
        return chart

    def elements_of(axes):
        from matplotlib.collections import PathCollection
        from matplotlib.container import BarContainer
        from matplotlib.patches import Wedge

        wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
        if wedges:
            return "pie", [
                {
                    "label": wedge.get_label(),
                    "angle": float(wedge.theta2 - wedge.theta1),
                    "radius": float(wedge.r),
                }
                for wedge in wedges
            ]
        bars = [container for container in axes.containers if isinstance(container, BarContainer)]
        if bars:
            return bars_of(axes, bars)
        scatters = [found for found in axes.collections if isinstance(found, PathCollection)]
        if scatters:
            return "scatter", [
                {"label": label_of(found), "points": [[plain(x), plain(y)] for x, y in found.get_offsets()]}
                for found in scatters
            ]
        lines = [
            {
                "label": label_of(line),
                "points": [[plain(x), plain(y)] for x, y in zip(line.get_xdata(), line.get_ydata())],
            }
            for line in axes.get_lines()
        ]
        return "line" if lines else "unknown", lines

    def bars_of(axes, containers):
        is_vertical = all(getattr(bars, "orientation", None) != "horizontal" for bars in containers)
        axis = axes.xaxis if is_vertical else axes.yaxis
        names = {
            round(float(place), 9): label.get_text()
            for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels())
        }
        elements = []
        is_histogram = True
        for bars in containers:
            end = None
            for patch in bars.patches:
                start, width, value = (
                    (patch.get_x(), patch.get_width(), patch.get_height())
                    if is_vertical
                    else (patch.get_y(), patch.get_height(), patch.get_width())
                )
                is_histogram &= end is None or abs(end - start) <= abs(width) * 1e-6
                end = start + width
                middle = start + width / 2
                elements.append(
                    {
                        "label": names.get(round(float(middle), 9)) or plain(middle),
                        "group": label_of(bars),
                        "value": plain(value),
                        "start": plain(start),
                        "end": plain(end),
                    }
                )
        return "histogram" if is_histogram and len(elements) > len(containers) else "bar", elements

    def label_of(artist):
        label = str(artist.get_label() or "")
        return None if not label or label.startswith("_") else label

    def text_of(artist):
        return artist.get_text() if artist is not None else None

    def plain(value):
        """A value as JSON has it: numbers stay, dates and names become text."""
        import math

        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value if isinstance(value, (int, float, str)) else str(value)

    for part in publish_everything, stream_at_once, capture, overrides, charts:
        try:
            part()
        except Exception as error:
            print(f"{part.__name__}: {error!r}", file=sys.__stderr__)


_prepare()
del _prepare
