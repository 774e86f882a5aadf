"""The page about why jobs do not run lists every reason there is; what autoscalers are told to ask is there."""

import re
from urllib.parse import parse_qs, urlsplit

import orjson
from muster.api import models
from muster.api.routes import OPERATIONS
from muster.engine.reasons import Code

from tests.docs.blocks import ROOT, Reader, blocks, files

PAGE, SCALING = "docs/guides/why.md", "docs/guides/autoscaling.md"
ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def test_the_page_lists_each_code_once_and_no_other() -> None:
    listed = ROW.findall((ROOT / PAGE).read_text())
    assert sorted(listed) == sorted(code.value for code in Code)


def test_what_the_page_shows_of_the_api_is_what_the_api_gives() -> None:
    models.Why.model_validate(orjson.loads(blocks(PAGE, "json")[0]))
    everything, one = blocks(SCALING, "json")
    models.Wanted.model_validate(orjson.loads(everything))
    (demand,) = orjson.loads(everything)["items"]
    assert orjson.loads(one) == {"value": demand["wanted_workers"]}
    assert (demand["queued"] + demand["running"]) / (demand["slots"] / demand["workers"]) == demand["wanted_workers"]
    assert set(demand) == set(models.TaskDemand.model_fields)


def test_the_scaler_asks_for_what_the_server_answers() -> None:
    (manifest,) = blocks(SCALING, "yaml")
    given = dict(re.findall(r'(\w+): "([^"]+)"', manifest))
    url = urlsplit(given["url"])
    (row,) = [row for row in OPERATIONS if (row.method, row.path) == ("GET", url.path)]
    assert parse_qs(url.query).keys() <= {parameter.name for parameter in row.parameters}
    assert given["valueLocation"] in models.Wanted.model_fields
    assert (given["method"], given["keyParamName"]) == ("header", "X-API-Key")


def test_the_command_of_the_page_says_why(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running("muster dev --blueprints hello.py")
    (shown,) = blocks(PAGE, "sh")
    done = reader.run(f'muster job start hello --input \'{{"name": "Ada"}}\'\n{shown}')
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "  no_worker: no worker that is there offers the task 'hello.greet'" in done.stdout
