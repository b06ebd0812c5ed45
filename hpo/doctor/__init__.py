"""What is wrong with a storage, and the repair of what dead processes and other programs left in it.

It decides what is a fault and words it; what is asked of the database and done in it is storage's
(`inspection`, `schema`). A repair takes the lease of a trial that it changes, moves files where it could
delete them, and leaves alone what another database or program may own. Nothing else imports it but the
command.
"""

from hpo.doctor.examination import examine
from hpo.doctor.findings import Finding

__all__ = ["Finding", "examine"]
