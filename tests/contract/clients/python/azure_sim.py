"""What every step needs: who we are at the simulator, clients of the SDK, and how to follow what was accepted."""

import argparse
import contextlib
import json
import os
import sys
import time
import urllib.request

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

GROUP = "rg-backup"
VAULT = "rv-py"
FABRIC = "Azure"
OF_MACHINES = "backupManagementType eq 'AzureIaasVM'"

# How long one thing may take, in seconds of the wall.
PATIENCE = 120


class Mismatch(Exception):
    """The simulator did not do what Azure does."""


def expect(holds, what):
    if not holds:
        raise Mismatch(what)


class Tour:
    """The simulator seen through the SDK."""

    def __init__(self):
        parser = argparse.ArgumentParser()
        for name in ["origin", "ca", "admin-door", "subscription", "tenant", "client"]:
            parser.add_argument(f"--{name}", required=True)
        self.at = parser.parse_args()
        self.subscription = f"/subscriptions/{self.at.subscription}"
        self.credential = ClientSecretCredential(
            self.at.tenant,
            self.at.client,
            os.environ["CLIENT_SECRET"],
            authority=self.at.origin,
            disable_instance_discovery=True,
            connection_verify=self.at.ca,
        )

    def client(self, kind, **more):
        """A client of the SDK, pointed at the simulator and otherwise as it comes."""
        return kind(
            self.credential,
            self.at.subscription,
            base_url=self.at.origin,
            credential_scopes=[f"{self.at.origin}/.default"],
            connection_verify=self.at.ca,
            polling_interval=1,
            **more,
        )

    def group(self, name):
        return f"{self.subscription}/resourceGroups/{name}"

    def machine(self, name, group="rg-shop"):
        return f"{self.group(group)}/providers/Microsoft.Compute/virtualMachines/{name}"

    def account(self, name, group="rg-backup"):
        return f"{self.group(group)}/providers/Microsoft.Storage/storageAccounts/{name}"

    def item(self, machine="api-01"):
        """Where a machine's item is: vault, group, fabric, container and name, as every call below it wants them."""
        name = f"iaasvmcontainerv2;rg-shop;{machine}"
        return VAULT, GROUP, FABRIC, f"IaasVMContainer;{name}", f"VM;{name}"

    def clock(self, **turn):
        """The simulated clock, turned first when something is said: advance="PT13H", factor=60."""
        body = json.dumps(turn).encode() if turn else None
        with urllib.request.urlopen(f"{self.at.admin_door}/clock", body) as answer:
            return json.load(answer)

    @contextlib.contextmanager
    def slowly(self):
        """A simulated minute takes a second meanwhile: what must be met halfway is."""
        before = self.clock()["factor"]
        self.clock(factor=60)
        try:
            yield
        finally:
            self.clock(factor=before)

    def run(self, steps):
        """The steps in order, a line each; the first mismatch ends the program with 1."""
        for name, step in steps:
            begun = time.time()
            try:
                said = step(self)
            except Exception as error:  # whatever the SDK stumbles over is a mismatch
                print(f"MISMATCH at {name!r}: {type(error).__module__}.{type(error).__name__}: {error}", flush=True)
                if os.environ.get("TRACE"):
                    raise
                sys.exit(1)
            print(f"ok {time.time() - begun:4.1f} s  {name}: {said}", flush=True)


def until(look, what):
    """Looks until there is something."""
    end = time.time() + PATIENCE
    while time.time() < end:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise Mismatch(f"{what} did not come within {PATIENCE} s")


def refused(call, status):
    """What the service says to a call that must fail. Codes are not checked: of these refusals none was ever recorded."""
    try:
        call()
    except HttpResponseError as error:
        expect(error.status_code == status and error.error and error.error.code, f"expected {status}, got {error}")
        return f"{error.status_code} {error.error.code}"
    raise Mismatch(f"expected {status}, got no error at all")


def accepted(call):
    """The operation's id of a call that is answered with 202 and headers; where the SDK polls by itself, it has done so."""
    answers = []
    waiting = call(raw_response_hook=lambda answer: answers.append(answer.http_response))
    if hasattr(waiting, "result"):
        waiting.result()
    expect(answers[0].status_code == 202, f"answered with {answers[0].status_code}, not 202")
    return answers[0].headers["Azure-AsyncOperation"].split("?")[0].rsplit("/", 1)[1]


def ended(backup, operation):
    """What an operation tells in the end, by way of the vault, where azure-cli and most others ask."""

    def look():
        status = backup.backup_operation_statuses.get(VAULT, GROUP, operation)
        return status if status.status != "InProgress" else None

    status = until(look, "the end of the operation")
    expect(status.status == "Succeeded", f"the operation {status.status}: {status.error}")
    return status.properties


def job_of(backup, call):
    """The job that a call leads to, when its operation has ended."""
    told = ended(backup, accepted(call))
    expect(told and told.object_type == "OperationStatusJobExtendedInfo" and told.job_id, f"the operation tells of no job: {told}")
    return told.job_id


def finished(backup, job):
    """A job at its end."""

    def look():
        found = backup.job_details.get(VAULT, GROUP, job).properties
        return found if found.status not in ("InProgress", "Cancelling") else None

    return until(look, f"the end of job {job}")


def completed(backup, call):
    """A job that went well, from the call that starts it to its end, with its tasks by name."""
    job = finished(backup, job_of(backup, call))
    expect(job.status == "Completed", f"{job.operation} {job.status}: {[error.error_string for error in job.error_details or []]}")
    tasks = {task.task_id: task.status for task in job.extended_info.tasks_list}
    expect(all(status == "Completed" for status in tasks.values()), f"{job.operation}: {tasks}")
    return job, tasks
