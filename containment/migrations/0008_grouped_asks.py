"""One ask about many identities."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0007_backtests")]
    operations = []
