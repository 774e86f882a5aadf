"""The stage that a development server has without a file: small programs that `sh` runs, for trying everything out."""

from typing import Final

from muster.surfaces.cli.definition import Argument, Catalog, Command, Example, RunRequest

_FAIL: Final = 'echo "failing with exit code $1" >&2; exit "$1"'
_COPY: Final = 'mkdir -p -- "$(dirname -- "$2")" && cp -- "$1" "$2" && echo copied'
_TICK: Final = """\
count=$1 delay=$2 n=0
while [ "$n" -lt "$count" ]; do
  n=$((n + 1))
  echo "tick $n"
  echo "tock $n" >&2
  printf 'META:progress:%d.%06d\\n' $((n / count)) $((n * 1000000 / count % 1000000))
  sleep "$delay"
done
"""


def _sh(script: str, *words: str) -> tuple[str, ...]:
    # The braces of a shell are not ours.
    return ("sh", "-c", script.replace("{", "{{").replace("}", "}}"), "sh", *words)


DEMO: Final = Catalog(
    stages={
        "demo": {
            "echo": Command(
                argv=("printf", "%s\\n", "{text}"),
                help="Prints a text.",
                args=(Argument(name="text", required=True, help="What to print.", example="hello"),),
            ),
            "fail": Command(
                argv=_sh(_FAIL, "{exit_code}"),
                help="Ends with an exit code, and says so on stderr.",
                args=(
                    Argument(
                        name="exit_code",
                        type="int",
                        default=1,
                        minimum=0,
                        maximum=255,
                        help="The exit code.",
                        example=3,
                    ),
                ),
            ),
            "copy": Command(
                argv=_sh(_COPY, "{input}", "{output}"),
                help="Copies a file.",
                args=(
                    Argument(
                        name="input",
                        required=True,
                        file=True,
                        help="The file to copy.",
                        example="file_id:0123456789abcdef0123456789abcdef",
                    ),
                    Argument(name="output", required=True, help="What the copy is called.", example="copy.csv"),
                ),
            ),
            "tick": Command(
                argv=_sh(_TICK, "{count}", "{delay}"),
                help="Counts on both streams and tells its progress.",
                args=(
                    Argument(
                        name="count", type="int", default=5, minimum=0, maximum=1_000_000, help="How far.", example=5
                    ),
                    Argument(
                        name="delay",
                        type="float",
                        default=0.5,
                        minimum=0,
                        maximum=3600,
                        help="Seconds between.",
                        example=0.5,
                    ),
                ),
            ),
        }
    },
    examples=(
        Example(
            name="Say hello",
            description="The answer has what the command printed.",
            request=RunRequest(stage="demo", command="echo", args={"text": "hello"}),
        ),
        Example(
            name="Count to five, live",
            description="Starts a job, whose output and progress can be followed.",
            request=RunRequest(stage="demo", command="tick", mode="async", args={"count": 5, "delay": 0.5}),
        ),
        Example(
            name="Copy an upload",
            description="Upload a file first, and put its id after file_id: — the copy can be downloaded.",
            request=RunRequest(
                stage="demo",
                command="copy",
                mode="async",
                args={"input": "file_id:0123456789abcdef0123456789abcdef", "output": "copy.csv"},
            ),
        ),
        Example(
            name="Fail",
            description="A command that fails is an answer like any other.",
            request=RunRequest(stage="demo", command="fail", args={"exit_code": 3}),
        ),
        Example(
            name="Count, then say so",
            description="The first step of a pipeline, for clients that run several commands in turn.",
            request=RunRequest(stage="demo", command="tick", args={"count": 2, "delay": 0.1}),
            pipeline_config={
                "name": "count-then-say-so",
                "stages": [
                    {"stage": "demo", "command": "tick", "args": {"count": 2, "delay": 0.1}},
                    {"stage": "demo", "command": "echo", "args": {"text": "counted"}},
                ],
            },
        ),
    ),
)
