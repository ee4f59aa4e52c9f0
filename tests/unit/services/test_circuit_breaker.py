"""How long a service has failed, as metrics tell it."""

from vlaa_ray.config import ServiceSection
from vlaa_ray.errors import RewardError
from vlaa_ray.services.circuit_breaker import Circuit, failing_services


def test_a_service_fails_from_its_first_failure_until_its_next_success():
    section = ServiceSection(url="http://127.0.0.1:1/v1")
    judge, teacher = Circuit("the judge", section, RewardError), Circuit("the teacher 'big one'", section, RewardError)
    assert failing_services()["judge"] == 0
    judge.failed("no answer")
    first = failing_services()["judge"]
    judge.failed("no answer")
    assert failing_services()["judge"] >= first > 0 and failing_services()["teacher_big_one"] == 0
    judge.succeeded()
    assert failing_services()["judge"] == 0
    del judge, teacher
