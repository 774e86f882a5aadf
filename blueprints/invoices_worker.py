"""Workers for invoices.yaml: `muster worker run invoices_worker.py`."""

from typing import Any

from muster_worker import Worker

worker = Worker()


@worker.task("invoices.read")
async def read(params: dict[str, Any]) -> dict[str, Any]:
    return {"number": "2030-17", "payee": "Tea & Sons", "cents": 1200, "file": params["file"]}


@worker.task("invoices.pay")
async def pay(params: dict[str, Any]) -> dict[str, Any]:
    return {"ref": f"paid-{params['number']}"}


@worker.task("mail.send")
async def send(params: dict[str, Any]) -> dict[str, Any]:
    return {"sent": params["to"]}
