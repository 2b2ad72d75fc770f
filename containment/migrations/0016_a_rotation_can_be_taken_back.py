"""What a credential was before a run rotated it, so that an undo brings that back; and when a case was last asked about what was taken.

Two empty columns: nothing is rewritten, and undoing it drops them and nothing else.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("containment", "0015_protected_identities_are_found")]

    operations = [
        migrations.AddField("credential", "before_rotation", models.JSONField(null=True)),
        migrations.AddField("case", "gathered_at", models.DateTimeField(null=True)),
    ]
