"""A source says whether it is a feed of what identities do: only from such a one is learned what is usual.

Running it live adds a column with a default, without rewriting the table. Until an engineer has marked the feeds, on the page of each source
or in an inventory file, nothing more is learned from them; what was learned stays. Undoing it lets every source teach again.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("containment", "0008_grouped_asks")]
    operations = [migrations.AddField("source", "teaches", models.BooleanField(db_default=False, default=False))]
