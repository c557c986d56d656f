"""Operations that the simulated services have beyond those that our clients call."""

from __future__ import annotations

import json

import pytest
from alibabacloud_aiworkspace20210204 import models as aiworkspace
from alibabacloud_eas20210701 import models as eas
from alibabacloud_pai_dlc20201203 import models as dlc
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import REGION, Cloud
from official import Official
from understood import understood

CONFIG = {
    "name": "tide_service",
    "metadata": {"instance": 1, "cpu": 2, "memory": 4000, "workspace_id": "268"},
    "containers": [{"image": "registry.example.com/serve:1", "script": "serve 潮", "port": 80}],
    "cloud": {"computing": {"instance_type": "ecs.g6.large"}},
}


def test_a_job_is_changed_within_what_can_be(cloud: Cloud, sdk: Official) -> None:
    spec = dlc.JobSpec(
        type="Worker", image="registry.example.com/b:1", pod_count=1, ecs_spec="ecs.g6.large"
    )
    request = dlc.CreateJobRequest(
        display_name="bench-1", job_type="PyTorchJob", user_command="true", job_specs=[spec]
    )
    job_id = sdk.dlc.create_job(request).body.job_id
    change = dlc.UpdateJobRequest(accessibility="PUBLIC", description="潮", priority=9)
    assert understood(cloud, sdk.dlc.update_job(job_id, change)).job_id == job_id
    seen = understood(cloud, sdk.dlc.get_job(job_id, dlc.GetJobRequest()))
    # A priority is for jobs of a quota, and silently nothing for others.
    assert (seen.accessibility, seen.description, seen.priority) == ("PUBLIC", "潮", 1)
    with pytest.raises(ClientException):
        sdk.dlc.update_job(job_id, dlc.UpdateJobRequest(accessibility="PRIVATE"))


def test_a_service_is_created_stopped_started_and_deleted(cloud: Cloud, sdk: Official) -> None:
    request = eas.CreateServiceRequest(
        body=json.dumps(CONFIG), labels={"team": "潮"}, workspace_id="268"
    )
    made = understood(cloud, sdk.eas.create_service(request))
    name = made.service_name
    assert (name, made.status, made.region) == (CONFIG["name"], "Creating", REGION)
    for action, status in (
        (None, "Running"),
        (sdk.eas.stop_service, "Stopped"),
        (sdk.eas.start_service, "Running"),
    ):
        if action is not None:
            understood(cloud, action(REGION, name))
        cloud.clock.advance(600)
        seen = understood(cloud, sdk.eas.describe_service(REGION, name))
        assert (seen.status, seen.workspace_id) == (status, "268")
    assert [(one.label_key, one.label_value) for one in seen.labels] == [("team", "潮")]
    understood(cloud, sdk.eas.delete_service(REGION, name))
    cloud.clock.advance(600)
    with pytest.raises(ClientException) as gone:
        sdk.eas.describe_service(REGION, name)
    assert gone.value.status_code == 404


def test_machines_and_regions_of_services_are_listed(cloud: Cloud, sdk: Official) -> None:
    request = eas.DescribeMachineSpecRequest(instance_types=["ecs.gn7i-c8g1.2xlarge"])
    found = understood(cloud, sdk.eas.describe_machine_spec(request))
    assert [one.instance_type for one in found.instance_metas] == ["ecs.gn7i-c8g1.2xlarge"]
    machine = found.instance_metas[0]
    assert (machine.gpuamount, machine.is_available, machine.vendor) == (1, True, "ECS")
    regions = understood(cloud, sdk.eas.describe_regions())
    assert REGION in {one.region_id for one in regions.regions}


def test_labels_of_images_are_listed(cloud: Cloud, sdk: Official) -> None:
    request = aiworkspace.ListImageLabelsRequest(label_keys="system.chipType")
    found = understood(cloud, sdk.aiworkspace.list_image_labels(request))
    assert {one.value for one in found.labels} >= {"CPU", "GPU"}
    assert found.total_count == len(found.labels)
