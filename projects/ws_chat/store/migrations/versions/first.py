"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "users",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("folded", sa.String(40), nullable=False, unique=True),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("created", moment, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        _of("user"),
        sa.Column("created", moment, nullable=False),
        sa.Column("expires", moment, nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("expires", moment, nullable=False),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(40), primary_key=True),
        _of("user"),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("folded", sa.String(800), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("changed", moment, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "messages",
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        _of("conversation"),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("reason", sa.String(10)),
        sa.UniqueConstraint("conversation_id", "id", name="message_once"),
    )
    for table, column in (("sessions", "user_id"), ("conversations", "user_id"), ("messages", "conversation_id")):
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    """Drop them."""
    for table in ("messages", "conversations", "invitations", "sessions", "users"):
        op.drop_table(table)


def _of(table: str) -> sa.Column[str]:
    return sa.Column(f"{table}_id", sa.String(40), sa.ForeignKey(f"{table}s.id", ondelete="CASCADE"), nullable=False)
