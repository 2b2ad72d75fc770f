"""What programs ask people for, call by call."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_each_team_is_asked_about_its_own")]
    operations = []
