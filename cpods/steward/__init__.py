"""The steward's rooms: invitations and roster, the pods' last statuses, shared results, handovers, the desk that answers.

Know no connection: cpods.stewarding joins them to the bus and to the broker.
"""
