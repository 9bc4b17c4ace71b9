"""A late change of a receipt's cost: follow the difference through the level, post what is left."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.revaluations import RevaluationActivities
    from domain.revaluations import Opened, Posted, Revaluation
    from workflows import options


@workflow.defn(name="revaluation")
class RevaluationWorkflow:
    """One receipt's new cost. Nothing is undone: until the posting the stock is as it was."""

    @workflow.init
    def __init__(self, asked: Revaluation) -> None:
        del asked
        self._opened: Opened | None = None

    @workflow.run
    async def run(self, asked: Revaluation) -> Posted:
        self._opened = await workflow.execute_local_activity_method(
            RevaluationActivities.open_revaluation, asked, **options.FIRST_STEP
        )
        posted = Posted(stock_value=None, refusal=self._opened.refusal)
        while posted.refusal is None and posted.stock_value is None:
            walked = await workflow.execute_activity_method(
                RevaluationActivities.walk, asked, **options.LONG_STEP
            )
            workflow.set_current_details(f"{walked.movements} movements walked")
            posted = await workflow.execute_activity_method(
                RevaluationActivities.post, asked, **options.STEP
            )
        await workflow.wait_condition(workflow.all_handlers_finished)
        return posted

    @workflow.update(description="Waits until it is known whether the revaluation begins.")
    async def opened(self) -> Opened:
        await workflow.wait_condition(lambda: self._opened is not None)
        return self._opened or Opened()
