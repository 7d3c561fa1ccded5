"""A window that shows the frames of a film, for `--show`.

It belongs to a process of its own: some systems show windows only from the main thread, which is
busy, and a network that computes for seconds would freeze it.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import av

ENDS = ("<Escape>", "q", "Q")  # keys that close the window
MOST = 0.9  # of the screen
TAKEN, ENDED = "taken", "ended"
STARTS = 30.0  # seconds in which it has to open
LATE = 0.5  # seconds by which frames may be late without changing the pace
POLL_MS = 10  # milliseconds from one look for a new frame to the next


class WindowError(RuntimeError):
    """A window that cannot be opened."""


class Window:
    """Shows frames, at the speed at which they play or as they come.

    Use it as a context.

    Attributes:
      closed: the user has closed it.
    """

    def __init__(self, title: str):
        """Opens the window.

        Raises:
          WindowError: there is no screen, or Python lacks tkinter.
        """
        self.closed = False
        self._ready = True  # the window has taken the last frame
        self._begun = self._last = 0.0
        # Not a copy of this process, which has threads.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(title, theirs), daemon=True)
        self._process.start()
        theirs.close()
        answer: Any = "it does not answer"
        if self._connection.poll(STARTS):
            try:
                answer = self._connection.recv()
            except EOFError:
                answer = "its process has ended"
        if isinstance(answer, str):
            self._process.kill()
            raise WindowError(answer)
        self._screen: tuple[int, int] = answer

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._connection.close()  # which ends the process
        self._process.join(1.0)
        self._process.kill()

    def play(self, frame: av.VideoFrame, seconds: float) -> None:
        """Shows a frame of a file when it is its turn; frames that come late are shown at once.

        seconds: of the film, which begins anew with a smaller number.
        """
        now = time.monotonic()
        if seconds < self._last or not self._begun or now - self._begun - seconds > LATE:
            self._begun = now - seconds
        self._last = seconds
        while not self.closed and (left := self._begun + seconds - time.monotonic()) > 0:
            self._look(min(left, 0.1))
        self.show(frame)

    def show(self, frame: av.VideoFrame, seconds: float = 0.0) -> None:
        """Shows a frame at once, or not at all if the window is busy with the one before."""
        self._look(0.0)
        if self.closed or not self._ready:
            return
        scale = min(1.0, *(
            MOST * most / side
            for most, side in zip(self._screen, (frame.width, frame.height), strict=True)
        ))
        picture = frame.reformat(
            round(frame.width * scale), round(frame.height * scale), "rgb24", threads=1
        )
        header = b"P6 %d %d 255\n" % (picture.width, picture.height)
        try:
            self._connection.send_bytes(header + picture.to_ndarray().tobytes())
            self._ready = False
        except OSError:
            self.closed = True

    def _look(self, seconds: float) -> None:
        """Takes what the window has to say, and waits for it that long."""
        try:
            while self._connection.poll(seconds):
                if self._connection.recv() == ENDED:
                    self.closed = True
                    return
                self._ready, seconds = True, 0.0
        except (EOFError, OSError):
            self.closed = True


def _run(title: str, connection: Connection) -> None:
    """The process of the window."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this
    try:
        import tkinter
    except ImportError as error:
        connection.send(
            f"this Python has no tkinter ({error}); install it, such as the package python3-tk of "
            "Debian"
        )
        return
    try:
        root = tkinter.Tk(className="slowfast_jax")
    except tkinter.TclError as error:
        connection.send(f"there is no screen for it ({error})")
        return
    root.title(title)
    root.configure(background="black")
    label = tkinter.Label(
        root, text="loading the network …", foreground="white", background="black", borderwidth=0,
        padx=80, pady=40,
    )
    label.pack(expand=True)
    photo = tkinter.PhotoImage()

    def end(event: Any = None) -> None:
        root.destroy()

    def look() -> None:
        try:
            if connection.poll():
                photo.configure(data=connection.recv_bytes(), format="PPM")
                label.configure(image=photo, padx=0, pady=0)
                root.update_idletasks()
                connection.send(TAKEN)
        except (EOFError, OSError):  # the command has ended
            root.destroy()
            return
        root.after(POLL_MS, look)

    for key in ENDS:
        root.bind(key, end)
    root.protocol("WM_DELETE_WINDOW", end)
    connection.send((root.winfo_screenwidth(), root.winfo_screenheight()))
    root.after(POLL_MS, look)
    root.mainloop()
    try:
        connection.send(ENDED)
    except OSError:
        pass
