package Cpanel::LogMeIn::Command::Store;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn::Command::Terminal qw(print_json);
use Cpanel::LogMeIn::Command::Words    qw(plural);
use Cpanel::LogMeIn::Session           ();
use Cwd                                ();

our $VERSION = '0.01';

my $DATABASE = qr{\Apostgresql://[^\0]{0,242}\z};
my $URL      = qr{\Almdb:/[^\0]{0,253}\z|$DATABASE};

sub actions {
    return (
        backup  => { options => ['json'],           arguments => ['DIR'] },
        copy    => { options => ['json'],           arguments => [qw(FROM TO)] },
        init    => { options => ['admin=s'],        arguments => [] },
        restore => { options => [qw(json force|f)], arguments => ['DIR'] },
    );
}

sub complaint {
    my ( $class, $word, $option, @arguments ) = @_;
    if ( $word eq 'init' ) {
        my $admin = $option->{admin} // return;
        return "'$admin' is no URL of a database: write postgresql://..." if $admin !~ $DATABASE;
        return;
    }
    if ( $word ne 'copy' ) {
        return 'DIR is empty.' if !length $arguments[0];
        return;
    }
    for my $url (@arguments) {
        return
            "'$url' is no store: write lmdb:/FOLDER or postgresql://..., as the setting 'store' has it."
            if $url !~ $URL;
    }
    return 'FROM and TO are the same store.' if $arguments[0] eq $arguments[1];
    return;
}

sub run {
    my ( $class, $word, $option, @arguments ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _copy( $sessions, $option, @arguments ) if $word eq 'copy';
    return _init( $sessions, $option->{admin} )    if $word eq 'init';
    my $folder = Cwd::realpath( $arguments[0] ) // $arguments[0];
    my $done =
          $word eq 'backup'
        ? $sessions->_backup_make($folder)
        : $sessions->_backup_restore( $folder, $option->{force} ? 1 : 0 );
    return _refuse($done) if $done->{code};
    my $known = plural( $done->{known}, 'known source' );
    my $text =
        $word eq 'backup'
        ? "The key and $known are in $folder."
        : "The key and $known are back; there are no sessions.";
    _print( $option, { folder => $folder, known => $done->{known} }, $text );
    return 0;
}

sub _init {
    my ( $sessions, $admin ) = @_;
    my $done = $sessions->_store_init( $admin // 'postgresql:///' );
    return _refuse($done) if $done->{code};
    print "The store is ready.\n";
    return 0;
}

sub _copy {
    my ( $sessions, $option, $from, $to ) = @_;
    my $done = $sessions->_store_copy( $from, $to );
    return _refuse($done) if $done->{code};
    my %copied = ( from => $from, to => $to, %{$done} );
    if ( $option->{json} ) {
        require JSON::PP;
        $copied{key} = $done->{key} ? JSON::PP::true() : JSON::PP::false();
    }
    my $text = sprintf "%s and %s are in %s%s.\nNow set 'store = %s', and reload the gateway.",
        plural( $done->{sessions}, 'ticket or cookie', 'tickets and cookies' ),
        plural( $done->{known}, 'known source' ), $to,
        $done->{key} ? ', with the key' : q{}, $to;
    _print( $option, \%copied, $text );
    return 0;
}

sub _print {
    my ( $option, $data, $text ) = @_;
    $option->{json} ? print_json($data) : print "$text\n";
    return;
}

# A store or a key that is in the way is a no, and all else is trouble.
sub _refuse {
    my ($fault) = @_;
    die "$Cpanel::LogMeIn::detail\n"
        if ( $fault->{fault} // q{} ) !~ /\A(?:store[.]exists|key[.]taken)\z/;
    print {*STDERR} "logmein: $Cpanel::LogMeIn::detail\n";
    return 1;
}

1;

__END__

=head1 NAME

logmein-store - back up, restore and move the store

=head1 SYNOPSIS

    logmein store backup DIR
    logmein store restore [--force] DIR
    logmein store copy FROM TO
    logmein store init [--admin URL]

=head1 DESCRIPTION

The store holds sessions, tickets, known sources and failed logins, and its key lies
beside it. Run these commands as root, or as the owner of the store.

=head1 COMMANDS

=head2 backup

    logmein store backup DIR

Writes the key, the old one if there is one, and the known sources: the addresses that
users have logged in from during the last 30 days. DIR is made, mode 0700, or is an empty
folder. Logins go on. Sessions and tickets are not in the backup: one that had ended
since would be good again.

The backup holds the key: whoever has it can forge sessions in a copy of the store. Keep it
as secret as the key.

=head2 restore

    logmein store restore [--force] DIR

Brings a backup into the store of the settings, if that store does not exist yet. Its
folder may, and then belongs to the owner of the store; as root, make it first for the
user of the gateway. All users log in again.

A damaged or incomplete backup changes nothing. A store that exists, or another key where
the store's key belongs, is refused with exit status 1: with C<--force> both are replaced,
which ends all sessions. While a backup is restored nobody can log in. If that is
interrupted, the store can't be used until the command was run again.

=head2 copy

    logmein store copy FROM TO

Moves everything from one store to a new one: sessions, tickets, known sources, waits, and
the key, unless C<key_file> says where that is. FROM and TO are C<lmdb:/FOLDER> or
C<postgresql://...>, as the setting C<store> has them. If C<volatile_dir> is set, what lies there stays.

Logins go on until the last differences are copied; for that time they wait. Then the old
store is emptied, and refuses everything from that moment on, with a fault that names
the new one. Set C<store> and reload the gateway: every session made before is good after.

A copy that was interrupted leaves the old store in use. Run the same command again; if it
says that there is a store already, the copy was complete, but the old store went on:
remove the new one first.

=head2 init

    logmein store init [--admin URL]

Prepares the PostgreSQL database that C<store> names: a schema C<logmein> with tables, and
the functions by which stores are used. The user that C<store> names may call these
functions, and nothing else. It is made if it does not exist; if C<store_password_file> is
set, it gets the password that is there. The database must exist already:

    createdb logmein
    logmein store init --admin postgresql://postgres@/logmein

Run it again after an upgrade: what is stored stays, and so do functions of versions that
run on other machines. Where a later version was the last to run it, an earlier one does
nothing but to let the user in.

=head1 OPTIONS

=over 4

=item C<--admin URL>

C<init>: who prepares the database: the URL, as libpq reads it, of a user who may make
schemas and users there. By default libpq's environment variables say that. A connection
over a network is encrypted, and the server's certificate verified.

=item C<--config FILE>

The settings file. By default the one that is in use: see L<logmein.conf(5)>.

=item C<-f>, C<--force>

C<restore>: replaces a store and a key that exist.

=item C<--json>

Prints an object. C<backup>, C<restore>: C<folder>, and C<known>, the number of known
sources. C<copy>: C<from>, C<to>, C<sessions> (tickets and cookies), C<known>, C<others>
(last seen, wrong tokens, failed logins), C<key> (true if the key was copied), and
C<held_seconds>, for how long logins waited.

=back

=head1 EXIT STATUS

0 if it is done. 1 if a store or key is in the way, 2 for wrong usage, 3 for another
error; in all of these cases the store that was in use is as it was, unless C<restore> says
otherwise.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-key(8)>, L<logmein.conf(5)>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
