"""A command executed in a container of the engine in memory.

["cat"] writes what it reads and ends with its input; ["sh", "-c", SCRIPT] does the `echo`s, `sleep`s (for ever) and
`exit`s of the script; ["stty", "size"] says the terminal's; nothing else is there to be executed.
"""

import asyncio

from shoal_agent.engine.port import Command, Piece

PIECES_WAITING_MAX = 4
NUMBERS = {"SIGHUP": 1, "SIGINT": 2, "SIGKILL": 9, "SIGTERM": 15}


class MemoryExecution:
    def __init__(self, command: Command) -> None:
        self.command = command
        self.sizes = [command.size]
        self.has_ended = asyncio.Event()
        self._code = 0
        self._input_ended = False
        self._waiting: asyncio.Queue[Piece | None] = asyncio.Queue()
        self._read = asyncio.Event()
        self._play(command.arguments)

    def _play(self, arguments: tuple[str, ...]) -> None:
        match arguments:
            case ("cat",) if self.command.interactive:
                return
            case ("cat",):
                self._finish(0)
            case ("stty", "size"):
                self._say("stdout", "{} {}".format(*self.sizes[-1]))
                self._finish(0)
            case ("sh", "-c", script):
                self._interpret(script)
            case (program, *_):
                self._say("stderr", f'exec: "{program}": executable file not found in $PATH')
                self._finish(127)

    def _interpret(self, script: str) -> None:
        for line in script.split(";"):
            word, _, rest = line.strip().partition(" ")
            match word:
                case "echo":
                    text, _, to_stderr = rest.partition(" >&")
                    self._say("stderr" if to_stderr and not self.command.tty else "stdout", text)
                case "exit":
                    return self._finish(int(rest))
                case "sleep":
                    return None
        return self._finish(0)

    def _say(self, stream: str, text: str) -> None:
        end = "\r\n" if self.command.tty else "\n"
        self._waiting.put_nowait(Piece(stream, f"{text}{end}".encode()))

    def _finish(self, code: int) -> None:
        if not self.has_ended.is_set():
            self._code = code
            self.has_ended.set()
            self._waiting.put_nowait(None)

    async def read(self) -> Piece | None:
        piece = await self._waiting.get()
        self._read.set()
        if piece is None:
            self._waiting.put_nowait(None)
        return piece

    async def write(self, data: bytes) -> None:
        while self._waiting.qsize() >= PIECES_WAITING_MAX and not self.has_ended.is_set():
            self._read.clear()
            await self._read.wait()
        if self.command.arguments == ("cat",) and not self.has_ended.is_set():
            self._waiting.put_nowait(Piece("stdout", data))

    async def end_input(self) -> None:
        if self.command.arguments == ("cat",):
            self._finish(0)

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def signal(self, name: str) -> None:
        self._finish(128 + NUMBERS[name])

    async def exit_code(self) -> int:
        return self._code

    async def end(self) -> None:
        self._finish(137)
        self._read.set()
