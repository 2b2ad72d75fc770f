"""What a session declared, called and used up."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("containment", "0003_what_identities_usually_do")]
    operations = []
