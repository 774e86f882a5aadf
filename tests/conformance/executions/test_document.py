"""The commands that RGrid's document prints, run as they are printed, and a day with a batch, all with curl."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.executions.conftest import PRICE, Client

PRINTED = r"""
# Health check (no auth)
curl https://staging.rgrid.dev/api/v1/health

# Authenticated request example
curl -H "Authorization: Bearer $API_KEY" \
  https://staging.rgrid.dev/api/v1/cost

# Cost estimate
curl -H "Authorization: Bearer $API_KEY" \
  "https://staging.rgrid.dev/api/v1/estimate?runtime=python:3.11&files=100"
"""
WORKFLOW = r"""
made=$(curl -H "Authorization: Bearer $API_KEY" https://staging.rgrid.dev/api/v1/executions --data '{
  "script_content": "import sys; print(1); open(\"result.txt\", \"w\").write(open(sys.argv[1]).read() * 2)",
  "runtime": "python:3.11", "args": ["a.csv"], "input_files": ["a.csv"], "batch_id": "batch_1"}')
echo "$made"
id=$(echo "$made" | sed -E 's/.*"execution_id":"([^"]+)".*/\1/')
printf abcde >a.csv
curl -T a.csv "$(echo "$made" | sed -E 's/.*"a.csv":"([^"]+)".*/\1/')"
echo
while true; do
  now=$(curl -H "Authorization: Bearer $API_KEY" "https://staging.rgrid.dev/api/v1/executions/$id")
  case "$now" in *'"status":"completed"'* | *'"status":"failed"'*) break ;; esac
  sleep 0.05
done
echo "$now"
for what in "executions/$id/artifacts" batches/batch_1/status batches/batch_1/executions cost; do
  curl -H "Authorization: Bearer $API_KEY" "https://staging.rgrid.dev/api/v1/$what"
  echo
done
wish='{"s3_key": "executions/'"$id"'/outputs/result.txt"}'
link=$(curl -H "Authorization: Bearer $API_KEY" https://staging.rgrid.dev/api/v1/artifacts/download-url --data "$wish")
echo "$link"
curl "$(echo "$link" | sed -E 's/.*"download_url":"([^"]+)".*/\1/')"
"""


@pytest.fixture
def curl(client: Client, tmp_path: Path) -> Any:
    """Runs a script in which curl finds our server where the document's staging host would be."""
    shim = tmp_path / "bin" / "curl"
    shim.parent.mkdir()
    shim.write_text(
        '#!/usr/bin/env bash\nexec /usr/bin/env PATH="${PATH#*:}" curl -sS --fail-with-body '
        f'"${{@//https:\\/\\/staging.rgrid.dev/{client.url}}}"\n'
    )
    shim.chmod(0o755)

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'PATH="{shim.parent}:$PATH"\n{script}'],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "API_KEY": client.key},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def test_the_printed_commands_work_as_they_are_printed(curl: Any) -> None:
    decoder, text, answers = json.JSONDecoder(), curl(PRINTED), []
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].lstrip()
    health, cost, estimate = answers
    assert health["status"] == "ok (db: connected)"
    assert (cost["total_executions"], cost["by_date"], cost["total_cost_display"]) == (0, [], "€0.00")
    assert (estimate["estimated_executions"], estimate["estimated_total_duration_seconds"]) == (100, 6000)
    assert estimate["estimated_cost_micros"] == 6000 * PRICE * 1_000_000


def test_a_script_with_an_input_runs_in_a_batch_and_its_result_is_fetched(curl: Any) -> None:
    made, sent, done, files, status, members, cost, link, content = curl(WORKFLOW).split("\n")
    assert json.loads(made)["status"] == "queued"
    assert json.loads(sent)["size"] == 5
    execution = json.loads(done)
    assert (execution["status"], execution["exit_code"], execution["stdout"]) == ("completed", 0, "1\n")
    assert execution["cost_micros"] > 0
    assert [(file["artifact_type"], file["filename"], file["size_bytes"]) for file in json.loads(files)] == [
        ("input", "a.csv", 5),
        ("output", "result.txt", 10),
    ]
    batch = json.loads(status)
    assert (batch["statuses"], batch["total_cost_micros"]) == (["completed"], execution["cost_micros"])
    assert [member["batch_metadata"] for member in json.loads(members)] == [{"input_file": "a.csv"}]
    paid = json.loads(cost)
    assert (paid["total_executions"], paid["total_cost_micros"]) == (1, execution["cost_micros"])
    assert json.loads(link)["expires_in"] == 7200
    assert content == "abcdeabcde"
