"""Who holds a control: two runs that cut the same thing each have a claim on it, and only the last one to go gives it back."""

from __future__ import annotations

from django.db import models

from playbooks.models.run import Run


class ControlClaim(models.Model):
    """`connector`, `subject`, `measure`: the control. A run holds each of them once, from before it is cut until
    it was given back or kept."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="claims")
    connector = models.TextField()
    subject = models.TextField()
    measure = models.TextField()
    claimed_at = models.DateTimeField()

    class Meta:
        db_table = "control_claim"
        constraints = [
            models.UniqueConstraint(fields=["run", "connector", "subject", "measure"], name="one_claim_per_run_and_control"),
        ]
        indexes = [models.Index(fields=["connector", "subject", "measure"], name="claims_on_a_control")]

    def __str__(self) -> str:
        return f"{self.measure} on {self.subject}"
