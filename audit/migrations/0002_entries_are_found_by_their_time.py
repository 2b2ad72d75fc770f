"""Each beat of a sweeper asks whether an entry lies ahead of the clock. Without an index that question reads the whole trail.

Running it live keeps entries waiting while the index is made; undoing it costs nothing but time.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_entries_are_chained_and_final")]
    operations = [migrations.AddIndex("auditentry", models.Index(fields=["at", "seq"], name="audit_by_time"))]
