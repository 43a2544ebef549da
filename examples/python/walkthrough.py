"""Creates a workspace, follows its run, freezes it, exports it and deletes it, with a client generated from openapi.yaml.

Takes BERTH_URL, BERTH_TOKEN and BERTH_ACCOUNT_ID from the environment.
"""

import hashlib
import os
import sys
import uuid
from http import HTTPStatus

from berth_client import AuthenticatedClient
from berth_client.api.provisioning_runs import get_provisioning_run
from berth_client.api.workspaces import create_workspace, delete_workspace, get_export, get_workspace, change_workspace_status
from berth_client.models import ChangeStatus, ChangeStatusReason, ChangeStatusStatus, CreateWorkspace, Problem
from berth_client.types import UNSET


def setting(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"{name} is not set: source dev.env first")


def answered(response):
    """What was answered; a problem ends the program."""
    if isinstance(response.parsed, Problem):
        problem = response.parsed
        sys.exit(f"{problem.code}: {problem.detail} (request {problem.request_id})")
    if response.parsed is None:
        sys.exit(f"an answer without a body: {response.status_code}")
    return response.parsed


berth = AuthenticatedClient(base_url=setting("BERTH_URL"), token=setting("BERTH_TOKEN"), timeout=60)

# Create: the key makes it safe to send the request again, whatever happened to the first answer.
wanted = CreateWorkspace(account_id=uuid.UUID(setting("BERTH_ACCOUNT_ID")), name="Python walkthrough", region="local")
created = answered(create_workspace.sync_detailed(client=berth, body=wanted, idempotency_key=str(uuid.uuid4())))
print(f"workspace {created.workspace_id}, run {created.provisioning_run_id}")

# Follow: a long poll answers when the run has moved on from the version that the ETag names.
etag = UNSET
while True:
    response = get_provisioning_run.sync_detailed(created.provisioning_run_id, client=berth, wait="30s", if_none_match=etag)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        continue
    run, etag = answered(response), response.headers["ETag"]
    print(f"run is {run.state}, {run.progress.done} of {run.progress.total} steps")
    if run.terminal:
        break
if run.state != "succeeded":
    sys.exit(f"the run {run.state}")

# Freeze: 200 means that no change gets through any more.
why = ChangeStatusReason(code="walkthrough", note="to see it")
freeze = ChangeStatus(status=ChangeStatusStatus.FROZEN, reason=why)
frozen = answered(change_workspace_status.sync_detailed(created.workspace_id, client=berth, body=freeze))
print(f"workspace is {frozen.status} by {', '.join(f.source for f in frozen.freezes)}")

# Export: the receipt proves that what arrived is all of it.
# The generated call reads every answer as JSON; the same client takes NDJSON as it comes.
exported = berth.get_httpx_client().get(f"/v1/workspaces/{created.workspace_id}/export", params={"format": "ndjson"})
if exported.status_code != HTTPStatus.OK:
    sys.exit(f"the export was answered {exported.status_code}")
receipt = answered(get_export.sync_detailed(uuid.UUID(exported.headers["Export-Id"]), client=berth))
if not receipt.complete or receipt.sha256 != hashlib.sha256(exported.content).hexdigest():
    sys.exit("the export is not complete")
print(f"exported {receipt.rows} rows, {receipt.bytes_} bytes, digest checked")

# Delete: only what we have seen.
seen = get_workspace.sync_detailed(created.workspace_id, client=berth)
deleted = answered(delete_workspace.sync_detailed(created.workspace_id, client=berth, if_match=seen.headers["ETag"]))
print(f"workspace is {deleted.status}, purged after {deleted.purge_at}")
