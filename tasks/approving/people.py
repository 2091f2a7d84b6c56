"""Who may decide: members that an approval names by their address or their role."""

from collections.abc import Sequence

from networks.models import Member
from tasks.models import Approval
from web.problems import Invalid, Problem


def check_person(approval: Approval, email: str) -> None:
    """Raise `Problem` (not_an_approver) unless this person is named."""
    if not is_approver(approval, email):
        raise Problem("not_an_approver", f"{email or 'You'} may not decide; asked are {named(approval)}.")


def is_approver(approval: Approval, email: str) -> bool:
    """Whether a person is named by an approval, and is still a member of its project."""
    member = (
        Member.objects.filter(project_id=approval.project_id, email=email.lower()).first() if email else None
    )
    if member is None:
        return False
    return member.role in approval.approvers or member.email in {name.lower() for name in approval.approvers}


def check_approvers(project_id: str, approvers: Sequence[str]) -> list[str]:
    """Return roles and addresses of members as they are kept. Raises `Invalid` for one that is neither."""
    members = set(Member.objects.filter(project_id=project_id).values_list("email", flat=True))
    found = []
    for index, name in enumerate(approvers):
        known = name if name in Member.Role.values else name.lower()
        if known not in Member.Role.values and known not in members:
            raise Invalid(
                f"/approvers/{index}", f"{name} is no member of the project and no role.", "unknown_approver"
            )
        found.append(known)
    return list(dict.fromkeys(found))


def named(approval: Approval) -> str:
    return ", ".join(approval.approvers) or "nobody"
