"""What a collator knows of time: which epoch its batches are for."""

import torch


class EpochAware:
    """A collator that alters batches anew in every epoch.

    The epoch lies in memory that loader workers share: persistent ones live through several epochs, and would go on with
    the one in which they were started.
    """

    def __init__(self):
        self._epoch = torch.zeros((), dtype=torch.int64)

    def set_epoch(self, epoch):
        """Told before the batches of an epoch are asked for."""
        if not self._epoch.is_shared():
            self._epoch.share_memory_()
        self._epoch.fill_(epoch)

    @property
    def epoch(self):
        """The one it was told last."""
        return self._epoch.item()

    @staticmethod
    def need_ids(ids):
        """Refuse rows without example ids."""
        if ids is None:
            raise ValueError(
                "What is done to an example is a function of its example id, and the rows have no column 'example_id'. "
                "Number them: `add_example_ids(dataset)`."
            )
