"""What is wrong with a storage, and the repair of what dead processes and other programs left in it."""

from hpo.doctor.examination import examine
from hpo.doctor.findings import Finding

__all__ = ["Finding", "examine"]
