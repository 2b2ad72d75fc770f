"""A token may be bound to one identity. Those that exist are bound to none.

Running it live adds a column with a constant default and a check over the tokens, which are few. Undoing it frees every bound token.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_people_have_roles_and_programs_have_tokens")]
    operations = [
        migrations.AddField("servicetoken", "speaks_for", models.TextField(blank=True, db_default="", default="")),
        migrations.AddConstraint(
            "servicetoken",
            models.CheckConstraint(
                condition=Q(speaks_for="") | (Q(speaks_for__startswith="identity:") & Q(source="")),
                name="a_token_speaks_for_one_identity_or_a_source",
            ),
        ),
    ]
