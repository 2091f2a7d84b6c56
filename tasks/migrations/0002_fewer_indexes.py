"""Every change of a step's or a call's state writes each of their indexes anew, so only those in use stay.

Gone are the foreign keys' own where a unique or composite index begins with the same column, and Django's
`_like` twins: under the C collation of our ids a plain index serves prefixes as well.
"""

import django.db.models.deletion
from django.db import migrations, models


_DROP_TWINS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN
        SELECT format('%I.%I', schemaname, indexname) FROM pg_indexes
        WHERE schemaname = current_schema() AND indexname LIKE '%\\_like' AND indexdef LIKE '%_pattern_ops)'
          AND tablename ~ '^(tasks|agents|memory|networks)_'
    LOOP
        EXECUTE 'DROP INDEX ' || name;
    END LOOP;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('memory', '0001_initial'),
        ('networks', '0001_initial'),
        ('tasks', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='attempt',
            name='step',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='tasks.step'),
        ),
        migrations.AlterField(
            model_name='event',
            name='run',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='tasks.run'),
        ),
        migrations.AlterField(
            model_name='run',
            name='network',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='networks.network'),
        ),
        migrations.AlterField(
            model_name='run',
            name='project',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='networks.project'),
        ),
        migrations.AlterField(
            model_name='run',
            name='snapshot',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tasks.snapshot'),
        ),
        migrations.AlterField(
            model_name='run',
            name='task',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='tasks.task'),
        ),
        migrations.AlterField(
            model_name='step',
            name='project',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='networks.project'),
        ),
        migrations.AlterField(
            model_name='step',
            name='run',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='tasks.run'),
        ),
        migrations.AlterField(
            model_name='task',
            name='network',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='tasks', to='networks.network'),
        ),
        migrations.RunSQL(_DROP_TWINS, migrations.RunSQL.noop),
    ]
